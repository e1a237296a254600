// The words of the configuration file for the values of settings.h.
#include "config/settings.h"

#include "config/choices.h"

namespace pgweir::config {

std::string_view name_of(TopologyKind value) { return choice_name(value); }
std::string_view name_of(NodeRole value) { return choice_name(value); }
std::string_view name_of(AuthMethod value) { return choice_name(value); }
std::string_view name_of(PoolMode value) { return choice_name(value); }
std::string_view name_of(ListenMode value) { return choice_name(value); }
std::string_view name_of(Reads value) { return choice_name(value); }
std::string_view name_of(Balance value) { return choice_name(value); }
std::string_view name_of(Consistency value) { return choice_name(value); }
std::string_view name_of(FailoverMode value) { return choice_name(value); }
std::string_view name_of(TlsMode value) { return choice_name(value); }
std::string_view name_of(TlsVersion value) { return choice_name(value); }

}  // namespace pgweir::config
