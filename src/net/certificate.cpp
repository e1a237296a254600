// What is asked about certificates; see certificate.h. Their content is untrusted.
#include "net/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

namespace pgweir::net {

namespace {
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Names = std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)>;

bool has_alternative_address(x509_st* certificate) {
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
                    GENERAL_NAMES_free);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i)
    if (sk_GENERAL_NAME_value(names.get(), i)->type == GEN_IPADD) return true;
  return false;
}
}  // namespace

std::string common_name_of(const x509_st* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name.find('\0') == std::string::npos ? name : std::string();
}

std::string distinguished_name_of(const x509_st* certificate) {
  const Bio out(BIO_new(BIO_s_mem()), BIO_free);
  if (!out || X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  std::string name(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  return name.find('\0') == std::string::npos ? name : std::string();
}

std::string end_point_hash_of(const x509_st* certificate) {
  int kind = NID_undef;
  // The question fills in what the certificate keeps of itself; it is not changed otherwise.
  if (X509_get_signature_info(const_cast<x509_st*>(certificate), &kind, nullptr, nullptr, nullptr) != 1) return {};
  if (kind == NID_md5 || kind == NID_sha1) kind = NID_sha256;
  const EVP_MD* digest = kind == NID_undef ? nullptr : EVP_get_digestbynid(kind);
  if (digest == nullptr) return {};
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int size = 0;
  if (X509_digest(certificate, digest, hash.data(), &size) != 1) return {};
  return {reinterpret_cast<const char*>(hash.data()), size};
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

bool is_for_host(x509_st* certificate, const std::string& host) {
  unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  if (is_address(host)) {
    if (X509_check_ip_asc(certificate, host.c_str(), 0) == 1) return true;
    if (has_alternative_address(certificate)) flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    flags |= X509_CHECK_FLAG_NO_WILDCARDS;
  }
  return X509_check_host(certificate, host.data(), host.size(), flags, nullptr) == 1;
}

}  // namespace pgweir::net
