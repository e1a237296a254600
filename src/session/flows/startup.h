// From the first byte of a client to "authenticated": SSLRequest, GSSENCRequest, CancelRequest, StartupMessage, the
// choice of the method, and what the method asks for. Pure: bytes and facts in, bytes and a verdict out. What the
// client learns about the server comes afterwards (session.cpp).
//
//   packet --SSL/GSSENC--> packet        (each at most once, refused with 'N')
//   packet --SSL, offered--> handshake (answered with 'S') --set_tls--> packet
//   packet --Cancel------> cancel        packet --Startup--> the matching line's method
//   method: authenticated | failed | waiting | password (cleartext or MD5) | sasl_first --> sasl_final
//   password, sasl_final --right--> authenticated        anything else --> failed (FATAL error is in the output, unless
//                                                        the owner says when the client hears it: `withheld`)
//   waiting --answer--> where it goes on
//
// Waiting: the flow has a question that only its owner can answer, at once or later (`question`). It takes no bytes
// meanwhile.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "auth/hba.h"
#include "auth/ident_maps.h"
#include "auth/tls_facts.h"
#include "base/byte_queue.h"
#include "base/result.h"
#include "config/secret.h"
#include "wire/frame.h"
#include "wire/messages/startup.h"
#include "wire/scram.h"

namespace pgweir::session {

/// How clients prove who they are. Shared, immutable; replaced as a whole on reload.
struct ClientAuth {
  auth::Hba rules = auth::for_everybody(auth::Method::scram_sha_256);
  auth::IdentMaps ident_maps;
  config::Users users;
  /// Users that are not in `users` are asked for (`StartupFlow::Question::secret`).
  bool asks_for_secrets = false;
  bool allow_cleartext = false;  ///< passwords in clear text over TCP without TLS
  /// Before a password or proof is checked the owner is asked (`Question::turn`), and it tells the client when it was
  /// wrong (`StartupFlow::withheld`).
  bool limits_failures = false;
  std::string mock_secret;  ///< see wire::mock_verifier
};

class StartupFlow {
 public:
  enum class Stage : std::uint8_t {
    packet,
    handshake,
    waiting,
    password,
    sasl_first,
    sasl_final,
    authenticated,
    cancel,
    failed
  };

  /// What the flow must know before it can go on. To be answered by the function of the same name.
  enum class Question : std::uint8_t {
    none,
    memberships,     ///< of which roles is message().user a member?
    interfaces,      ///< which addresses has this machine?
    system_user,     ///< as whom does the process at the other end of the Unix socket run?
    turn,            ///< may what the client has said be checked now?
    secret,          ///< what is message().user's password checked against? See wants_new_secret().
    password_check,  ///< is password() that of message().user, by line()'s method (ldap, pam)?
  };

  /// `from`: where the client is. `newest_minor`: of the protocol versions 3.x that the servers understand; a client
  /// that asks for more gets this one.
  explicit StartupFlow(std::shared_ptr<const ClientAuth> auth, auth::Address from = {}, std::uint16_t newest_minor = 0)
      : auth_(std::move(auth)), from_(from), newest_minor_(newest_minor) {}

  /// Consumes what it can of `bytes`, appends what must be sent to `out`; returns how many bytes were consumed.
  /// Goes on until it needs more bytes or an answer, or the stage is authenticated, cancel or failed.
  [[nodiscard]] std::size_t take(std::string_view bytes, base::ByteQueue& out);
  struct TlsRules {
    bool offered = false;       ///< SSLRequest is answered with 'S', and the stage is handshake: the owner's to do
    bool required = false;      ///< without TLS only on Unix sockets
    bool name_is_user = false;  ///< the common name of a client's certificate has to be the user's name
  };
  /// Before any bytes.
  void set_tls_rules(TlsRules rules) { tls_rules_ = rules; }
  /// The handshake is over. Before the StartupMessage.
  void set_tls(auth::TlsFacts facts);
  /// No request has come yet.
  [[nodiscard]] bool at_beginning() const { return stage_ == Stage::packet && !refused_ssl_ && !refused_gss_; }

  /// Other than `none` exactly while the stage is `waiting`.
  [[nodiscard]] Question question() const { return question_; }
  // The answers; each only while it is asked for. An error ends the login: the client hears of it what its message and
  // hint say. After them bytes may be taken again.
  void answer_memberships(base::Result<auth::Memberships> memberships, base::ByteQueue& out);
  void answer_interfaces(base::Result<auth::Interfaces> interfaces, base::ByteQueue& out);
  void answer_system_user(base::Result<std::string> name, base::ByteQueue& out);
  /// Nothing: there is no such user, or it has no password. The client cannot tell.
  void answer_secret(base::Result<std::optional<config::Secret>> secret, base::ByteQueue& out);
  /// True: now is the time. False: it is refused unseen, in the same words as a wrong password.
  void answer_turn(bool admitted, base::ByteQueue& out);
  void answer_password_check(base::Result<bool> right, base::ByteQueue& out);

  [[nodiscard]] Stage stage() const { return stage_; }
  /// Valid from the StartupMessage on.
  [[nodiscard]] const wire::StartupMessage& message() const { return message_; }
  [[nodiscard]] bool has_message() const { return has_message_; }
  /// The version 3.x that is spoken with this client. Valid from the StartupMessage on.
  [[nodiscard]] std::uint16_t minor_version() const { return std::min(message_.minor_version, newest_minor_); }
  [[nodiscard]] const wire::CancelRequest& cancel_request() const { return cancel_; }
  /// The line that decides; null before it is known and when there is none. The ClientAuth's.
  [[nodiscard]] const auth::HbaLine* line() const { return line_; }
  /// What the client has said in clear text. Valid while password_check is asked.
  [[nodiscard]] std::string_view password() const { return password_; }
  /// While `secret` is asked: the password was wrong by an answer that was given before; a newer one is wanted.
  [[nodiscard]] bool wants_new_secret() const { return asked_for_secret_ == 2; }
  /// The secret that the client was checked against was an answer, not from the users file.
  [[nodiscard]] bool secret_was_asked() const { return asked_for_secret_ > 0; }
  /// The keys that the client has proved to have, once; with another method than SCRAM or a password in clear text they
  /// are empty. When authenticated.
  [[nodiscard]] wire::ScramKeys take_keys() { return std::exchange(keys_, {}); }
  /// Failed by a wrong password or proof: the error is not in the output, the owner sends it when it is time.
  [[nodiscard]] bool withheld() const { return withheld_; }
  /// Who the client is outside of PostgreSQL: the system's user, or the name in its certificate. Empty: nobody asked.
  [[nodiscard]] std::string_view external_name() const { return external_name_; }
  /// Why it failed: what the client was told, and, only for the log, what it was not told.
  [[nodiscard]] const base::Error& error() const { return error_; }
  [[nodiscard]] std::string_view reason() const { return reason_; }

 private:
  std::size_t take_packet(std::string_view bytes, base::ByteQueue& out);
  std::size_t take_response(std::string_view bytes, base::ByteQueue& out);
  void handle(wire::StartupPacket packet, base::ByteQueue& out);
  void begin(base::ByteQueue& out);
  [[nodiscard]] bool obeys_tls_rules(base::ByteQueue& out);
  [[nodiscard]] auth::Asking asking() const;
  void decide(base::ByteQueue& out);
  void begin_method(base::ByteQueue& out);
  void ask(Question question);
  [[nodiscard]] bool accept(Question question);
  void begin_cleartext(base::ByteQueue& out);
  void find_secret(base::ByteQueue& out);
  void begin_secret(base::ByteQueue& out);
  void begin_md5(base::ByteQueue& out);
  void begin_scram(base::ByteQueue& out);
  void password(std::string_view body, base::ByteQueue& out);
  void take_proof(std::string_view proof, base::ByteQueue& out);
  void check_proof(base::ByteQueue& out);
  void check_md5(base::ByteQueue& out);
  void check_password(base::ByteQueue& out);
  void sasl_first(std::string_view body, base::ByteQueue& out);
  void check_scram(base::ByteQueue& out);
  void check_name(base::ByteQueue& out);
  void check_certificate(base::ByteQueue& out);
  void succeed(base::ByteQueue& out);
  void refuse(std::string_view reason, base::ByteQueue& out);
  void fail(base::Error error, base::ByteQueue& out);

  std::shared_ptr<const ClientAuth> auth_;
  auth::Address from_;
  std::uint16_t newest_minor_;
  Stage stage_ = Stage::packet;
  Question question_ = Question::none;
  bool refused_ssl_ = false;
  bool refused_gss_ = false;
  bool has_message_ = false;
  bool proof_given_ = false;
  bool withheld_ = false;
  int asked_for_secret_ = 0;  ///< how many times
  wire::Replication replication_ = wire::Replication::no;
  wire::StartupMessage message_;
  wire::CancelRequest cancel_;
  auth::TlsFacts tls_;
  TlsRules tls_rules_;
  std::optional<auth::Memberships> memberships_;
  std::optional<auth::Interfaces> interfaces_;
  const auth::HbaLine* line_ = nullptr;
  std::optional<config::Secret> secret_;  ///< nothing: there is none
  std::string md5_salt_;                  ///< empty: the password is asked for in clear text
  std::string password_;  ///< what is to be checked: the password, an MD5 answer, or SCRAM's last message
  wire::ScramKeys keys_;
  std::string external_name_;
  std::optional<wire::ScramServer> scram_;
  base::Error error_;
  std::string reason_;
};

}  // namespace pgweir::session
