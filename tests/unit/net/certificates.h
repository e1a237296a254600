// Certificates for tests, made on the spot: an authority, what it signs, and what it has revoked.
#pragma once
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "doctest/doctest.h"

namespace pgweir::test {

/// A directory that goes with it.
struct TemporaryDirectory {
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "pgweir-tls-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] std::string write(const std::string& name, const std::string& text, unsigned mode = 0600) const {
    const std::string file = (path / name).string();
    std::ofstream(file) << text;
    REQUIRE(::chmod(file.c_str(), mode) == 0);
    return file;
  }
  std::filesystem::path path;
};

struct CertificateWish {
  std::vector<std::pair<std::string, std::string>> subject{{"CN", "localhost"}};
  std::string alternative_names{};  ///< "DNS:db.example,IP:127.0.0.1"; empty: none
  long from_seconds = -3600, to_seconds = 3600;
  const EVP_MD* digest = EVP_sha256();
  const char* passphrase = nullptr;  ///< the key's
};

/// Files of one certificate and its key.
struct CertificateFiles {
  std::string certificate, key;
};

/// A root certificate, and what is signed by it.
class Authority {
 public:
  explicit Authority(TemporaryDirectory& directory, const std::string& name)
      : directory_(directory), name_(name), key_(EVP_EC_gen("P-256")) {
    CertificateWish wish;
    wish.subject = {{"CN", name}};
    certificate_ = make(wish, key_, nullptr);
    add_extension(certificate_, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
    REQUIRE(X509_sign(certificate_, key_, EVP_sha256()) > 0);
    file = directory_.write(name + ".crt", pem(certificate_));
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    for (X509_REVOKED* one : revoked_) X509_REVOKED_free(one);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  CertificateFiles issue(const std::string& name, const CertificateWish& wish = {}) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* made = make(wish, key, certificate_);
    if (!wish.alternative_names.empty()) add_extension(made, NID_subject_alt_name, wish.alternative_names);
    REQUIRE(X509_sign(made, key_, wish.digest) > 0);
    BIO* out = BIO_new(BIO_s_mem());
    const EVP_CIPHER* cipher = wish.passphrase != nullptr ? EVP_aes_128_cbc() : nullptr;
    REQUIRE(PEM_write_bio_PrivateKey(out, key, cipher, nullptr, 0, nullptr, const_cast<char*>(wish.passphrase)) == 1);
    CertificateFiles files{directory_.write(name + ".crt", pem(made)), directory_.write(name + ".key", text(out))};
    EVP_PKEY_free(key);
    X509_free(made);
    return files;
  }

  /// The list of what is revoked, with this certificate added to it.
  std::string revoke(const std::string& certificate) {
    if (!certificate.empty()) {
      X509* found = read(certificate);
      X509_REVOKED* entry = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(found));
      X509_REVOKED_set_revocationDate(entry, X509_get_notBefore(found));
      revoked_.push_back(entry);
      X509_free(found);
    }
    X509_CRL* list = X509_CRL_new();
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate_));
    ASN1_TIME* when = ASN1_TIME_new();
    X509_gmtime_adj(when, -3600);
    X509_CRL_set1_lastUpdate(list, when);
    X509_gmtime_adj(when, 3600);
    X509_CRL_set1_nextUpdate(list, when);
    ASN1_TIME_free(when);
    for (X509_REVOKED* one : revoked_) X509_CRL_add0_revoked(list, X509_REVOKED_dup(one));
    REQUIRE(X509_CRL_sign(list, key_, EVP_sha256()) > 0);
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_CRL(out, list);
    X509_CRL_free(list);
    return directory_.write(name_ + ".crl", text(out));
  }

  static X509* read(const std::string& file_name) {
    BIO* in = BIO_new_file(file_name.c_str(), "r");
    X509* found = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    REQUIRE(found != nullptr);
    return found;
  }

  std::string file;  ///< the root certificate's

 private:
  static std::string text(BIO* out) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out, &bytes);
    std::string all(bytes, static_cast<std::size_t>(size));
    BIO_free(out);
    return all;
  }
  static std::string pem(X509* certificate) {
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, certificate);
    return text(out);
  }
  static void add_extension(X509* certificate, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    REQUIRE(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509* make(const CertificateWish& wish, EVP_PKEY* key, X509* issuer) {
    X509* made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(made), wish.from_seconds);
    X509_gmtime_adj(X509_getm_notAfter(made), wish.to_seconds);
    X509_set_pubkey(made, key);
    X509_NAME* subject = X509_get_subject_name(made);
    for (const auto& [field, value] : wish.subject)
      X509_NAME_add_entry_by_txt(subject, field.c_str(), MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(value.data()), static_cast<int>(value.size()),
                                 -1, 0);
    X509_set_issuer_name(made, issuer != nullptr ? X509_get_subject_name(issuer) : subject);
    return made;
  }

  TemporaryDirectory& directory_;
  std::string name_;
  EVP_PKEY* key_;
  X509* certificate_ = nullptr;
  std::vector<X509_REVOKED*> revoked_;
  long serial_ = 0;
};

}  // namespace pgweir::test
