// Names and hashes of certificates that are made here.
#include "net/certificate.h"

#include <openssl/sha.h>

#include "doctest/doctest.h"
#include "unit/net/certificates.h"

using namespace pgweir;

namespace {
struct Fixture {
  test::TemporaryDirectory directory;
  test::Authority authority{directory, "root"};
  X509* certificate = nullptr;
  ~Fixture() { X509_free(certificate); }
  X509* issue(const test::CertificateWish& wish) {
    X509_free(certificate);
    return certificate = test::Authority::read(authority.issue("one", wish).certificate);
  }
};
}  // namespace

TEST_CASE("names are written as PostgreSQL writes them") {
  Fixture f;
  f.issue({{{"C", "DE"}, {"O", "Shop, Inc."}, {"CN", "joe"}, {"CN", "second"}}});
  CHECK(net::common_name_of(f.certificate) == "joe");
  CHECK(net::distinguished_name_of(f.certificate) == "CN=second,CN=joe,O=Shop\\, Inc.,C=DE");
  f.issue({{{"O", "nobody"}}});
  CHECK(net::common_name_of(f.certificate).empty());
}

TEST_CASE("a name with a zero byte in it is no name") {
  Fixture f;
  f.issue({{{"CN", std::string("joe\0evil", 8)}}});
  CHECK(net::common_name_of(f.certificate).empty());
}

TEST_CASE("a certificate is for the hosts that it names") {
  struct Row {
    const char *common_name, *alternatives, *host;
    bool good;
  };
  for (const Row& row : {
           Row{"db.example", "", "db.example", true},
           {"db.example", "", "DB.Example", true},
           {"db.example", "", "example", false},
           {"db.example", "DNS:other.example", "db.example", false},
           {"db.example", "DNS:other.example", "other.example", true},
           {"*.example.com", "", "db.example.com", true},
           {"*.example.com", "", "a.db.example.com", false},
           {"d*.example.com", "", "db.example.com", false},
           {"127.0.0.1", "", "127.0.0.1", true},
           {"x", "IP:127.0.0.1", "127.0.0.1", true},
           {"127.0.0.2", "IP:127.0.0.1", "127.0.0.2", false},
           {"x", "DNS:127.0.0.1", "127.0.0.1", true},
           {"x", "IP:::1", "::1", true},
           {"*.0.0.1", "", "127.0.0.1", false},
       }) {
    INFO(row.common_name << " / " << row.alternatives << " for " << row.host);
    Fixture f;
    f.issue({{{"CN", row.common_name}}, row.alternatives});
    CHECK(net::is_for_host(f.certificate, row.host) == row.good);
  }
}

TEST_CASE("the hash for channel binding is that of the signature, SHA-256 at least") {
  Fixture f;
  const auto size = [&](const EVP_MD* digest) {
    f.issue({{{"CN", "joe"}}, "", -3600, 3600, digest});
    return net::end_point_hash_of(f.certificate).size();
  };
  CHECK(size(EVP_sha384()) == 48);
  CHECK(size(EVP_sha512()) == 64);
  CHECK(size(EVP_sha1()) == 32);
  CHECK(size(EVP_sha256()) == 32);
  unsigned char* bytes = nullptr;
  const int length = i2d_X509(f.certificate, &bytes);
  std::array<unsigned char, 32> hash{};
  SHA256(bytes, static_cast<std::size_t>(length), hash.data());
  OPENSSL_free(bytes);
  CHECK(net::end_point_hash_of(f.certificate) == std::string(hash.begin(), hash.end()));
}
