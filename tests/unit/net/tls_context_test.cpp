// Contexts from good and bad files: each error names its file and its reason.
#include "net/tls_context.h"

#include "doctest/doctest.h"
#include "unit/net/certificates.h"

using namespace pgweir;

namespace {

struct Fixture {
  test::TemporaryDirectory directory;
  test::Authority authority{directory, "root"};
  test::CertificateFiles files = authority.issue("server");
  net::TlsServerSettings settings{files.certificate, files.key, {}, {}, {}, {}, {}};

  [[nodiscard]] base::Error error() const {
    const auto made = net::TlsContext::for_server(settings);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().sqlstate.view() == "F0000");
    return made.error();
  }
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a certificate with its key makes a context, with the hash for channel binding") {
  Fixture f;
  const auto made = net::TlsContext::for_server(f.settings);
  REQUIRE(made.has_value());
  CHECK((*made)->certificate_hash().size() == 32);
  CHECK((*made)->accept() != nullptr);
}

TEST_CASE("files that are missing or no certificates are named with the reason") {
  Fixture f;
  f.settings.certificate_file = "/nowhere/server.crt";
  CHECK(f.error().message == "could not load certificate file \"/nowhere/server.crt\": No such file or directory");
  f.settings.certificate_file = f.directory.write("rubbish.crt", "rubbish");
  CHECK(contains(f.error().message, "rubbish.crt\": no start line"));
  f.settings.certificate_file = f.files.certificate;
  f.settings.key_file = "/nowhere/server.key";
  CHECK(f.error().message == "could not read private key file \"/nowhere/server.key\": No such file or directory");
  f.settings.key_file = f.directory.write("rubbish.key", "rubbish");
  CHECK(contains(f.error().message, "could not load private key file"));
  f.settings.key_file = f.authority.issue("other").key;
  CHECK(contains(f.error().message, "key values mismatch"));
  f.settings.key_file = f.files.key;
  f.settings.client_certificate = net::ClientCertificate::required;
  f.settings.ca_file = "/nowhere/root.crt";
  CHECK(contains(f.error().message, "could not load root certificate file \"/nowhere/root.crt\": No such file"));
  f.settings.ca_file = f.authority.file;
  f.settings.crl_file = f.directory.write("rubbish.crl", "rubbish");
  CHECK(contains(f.error().message, "could not load certificate revocation list file"));
}

TEST_CASE("a key that others may read is refused, as in PostgreSQL") {
  Fixture f;
  REQUIRE(::chmod(f.files.key.c_str(), 0644) == 0);
  CHECK(contains(f.error().message, "has group or world access"));
  CHECK(contains(f.error().detail, "(0640) or less if owned by root"));
  REQUIRE(::chmod(f.files.key.c_str(), 0640) == 0);
  CHECK(net::TlsContext::for_server(f.settings).has_value() == (::geteuid() == 0));
  REQUIRE(::chmod(f.files.key.c_str(), 0660) == 0);
  CHECK(contains(f.error().message, "has group or world access"));
  if (::geteuid() == 0) {
    REQUIRE(::chmod(f.files.key.c_str(), 0600) == 0);
    REQUIRE(::chown(f.files.key.c_str(), 12345, 12345) == 0);
    CHECK(contains(f.error().message, "must be owned by the user that pgweir runs as, or by root"));
  }
  f.settings.key_file = f.directory.path.string();
  CHECK(contains(f.error().message, "is not a regular file"));
}

TEST_CASE("an encrypted key needs the command that gives its passphrase") {
  Fixture f;
  test::CertificateWish wish;
  wish.passphrase = "open sesame";
  const auto files = f.authority.issue("locked", wish);
  f.settings = {files.certificate, files.key, {}, {}, {}, {}, {}};
  CHECK(contains(f.error().message, "is encrypted, and no command gives its passphrase"));
  f.settings.passphrase_command = "echo 'open sesame'";
  CHECK(net::TlsContext::for_server(f.settings).has_value());
  f.settings.passphrase_command = "echo wrong";
  CHECK(contains(f.error().message, "could not load private key file"));
  CHECK(contains(f.error().detail, "may be wrong"));
  f.settings.passphrase_command = "exit 7";
  CHECK(contains(f.error().message, "failed with exit status 7"));
}

TEST_CASE("a client's context needs nothing, and checks what it is given") {
  Fixture f;
  CHECK(net::TlsContext::for_client({}).has_value());
  net::TlsClientSettings settings;
  settings.ca_file = "/nowhere/root.crt";
  CHECK(contains(net::TlsContext::for_client(settings).error().message, "/nowhere/root.crt"));
  settings.ca_file = f.authority.file;
  settings.certificate_file = f.files.certificate;
  settings.key_file = f.authority.issue("other").key;
  CHECK(contains(net::TlsContext::for_client(settings).error().message, "key values mismatch"));
}
