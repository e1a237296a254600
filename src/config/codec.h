// How the value of an option is read, written, checked and copied: one small factory per kind of value. The option
// table is made of these; the loader, the reload and the documents know nothing else of types.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/choices.h"
#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {

/// A member of Owner, or of a section of Owner.
template <class Owner, class Value>
struct Direct {
  Value Owner::*member;
  using OwnerType = Owner;
  Value& operator()(Owner& owner) const { return owner.*member; }
  const Value& operator()(const Owner& owner) const { return owner.*member; }
};
template <class Owner, class Section, class Value>
struct Nested {
  Section Owner::*section;
  Value Section::*member;
  using OwnerType = Owner;
  Value& operator()(Owner& owner) const { return (owner.*section).*member; }
  const Value& operator()(const Owner& owner) const { return (owner.*section).*member; }
};
template <class Owner, class Value>
Direct<Owner, Value> at(Value Owner::*member) {
  return {member};
}
template <class Owner, class Section, class Value>
Nested<Owner, Section, Value> at(Section Owner::*section, Value Section::*member) {
  return {section, member};
}

template <class Owner>
struct Codec {
  std::string allowed;  ///< "a duration from 1s to 1h"
  std::string units;    ///< ", in us, ms..." where units exist; added to `allowed` in errors
  /// Sets the value and returns nothing, or leaves it alone and returns the reason.
  std::function<std::string(Owner&, std::string_view)> parse;
  std::function<std::string(const Owner&)> format;
  std::function<void(Owner& to, const Owner& from)> copy;
  bool is_list = false;  ///< may also be written as a list, which is read as if there were commas in between
};

template <class Field, class Parse, class Format>
auto make_codec(std::string allowed, std::string units, Field field, Parse parse, Format format) {
  using Owner = typename Field::OwnerType;
  return Codec<Owner>{std::move(allowed), std::move(units),
                      [field, parse](Owner& owner, std::string_view text) -> std::string {
                        auto value = parse(text);
                        if (!value) return value.error();
                        field(owner) = std::move(*value);
                        return {};
                      },
                      [field, format](const Owner& owner) { return std::string(format(field(owner))); },
                      [field](Owner& to, const Owner& from) { field(to) = field(from); }};
}

template <class T>
Parsed<T> within(Parsed<T> value, T lowest, T highest) {
  if (value && *value < lowest) return tl::unexpected<std::string>("it is too small");
  if (value && *value > highest) return tl::unexpected<std::string>("it is too large");
  return value;
}

template <class Field>
auto boolean(Field field) {
  return make_codec("true or false", "", field, parse_bool, [](bool value) { return value ? "true" : "false"; });
}

template <class Field>
auto number(Field field, std::uint64_t lowest, std::uint64_t highest) {
  using T = std::remove_cvref_t<decltype(field(std::declval<typename Field::OwnerType&>()))>;
  return make_codec(
      fmt::format("a whole number from {} to {}", lowest, highest), "", field,
      [=](std::string_view text) {
        return within(parse_whole(text), lowest, highest).map([](std::uint64_t value) {
          return static_cast<T>(value);
        });
      },
      [](T value) { return std::to_string(value); });
}

template <class Field>
auto duration(Field field, Duration lowest, Duration highest) {
  return make_codec(
      fmt::format("a duration from {} to {}", format_duration(lowest), format_duration(highest)),
      fmt::format(", with one of the units {}", kDurationUnits), field,
      [=](std::string_view text) { return within(parse_duration(text), lowest, highest); }, format_duration);
}

template <class Field>
auto size(Field field, std::size_t lowest, std::size_t highest) {
  return make_codec(
      fmt::format("a size from {} to {}", format_size(lowest), format_size(highest)),
      fmt::format(", with one of the units {}", kSizeUnits), field,
      [=](std::string_view text) { return within(parse_size(text), lowest, highest); }, format_size);
}

template <class Field>
auto choice(Field field) {
  using E = std::remove_cvref_t<decltype(field(std::declval<typename Field::OwnerType&>()))>;
  std::vector<std::string_view> names;
  for (const Choice<E>& each : kChoices<E>) names.push_back(each.name);
  return make_codec((kChoices<E>.size() == 1 ? "only " : "one of ") + comma_list(names), "", field,
                    [](std::string_view text) -> Parsed<E> {
                      for (const Choice<E>& each : kChoices<E>)
                        if (each.name == text) return each.value;
                      return tl::unexpected<std::string>("it is not among the allowed values");
                    },
                    choice_name<E>);
}

/// The kind of value that `make` makes codecs for, in a member that may also hold nothing: then it is written as an
/// empty text, which is not read back.
template <class Field, class Make>
auto maybe(Field field, Make make) {
  using Owner = typename Field::OwnerType;
  using Value = typename std::remove_cvref_t<decltype(field(std::declval<Owner&>()))>::value_type;
  struct Holder {
    Value value{};
  };
  auto codec = make(at(&Holder::value));
  return Codec<Owner>{codec.allowed, codec.units,
                      [field, parse = codec.parse](Owner& owner, std::string_view text) -> std::string {
                        Holder holder;
                        std::string reason = parse(holder, text);
                        if (reason.empty()) field(owner) = std::move(holder.value);
                        return reason;
                      },
                      [field, format = codec.format](const Owner& owner) {
                        const auto& value = field(owner);
                        return value ? format(Holder{*value}) : std::string();
                      },
                      [field](Owner& to, const Owner& from) { field(to) = field(from); }};
}

/// A rule for a text: what is allowed in words, and a check that returns a reason, or nothing when the text is fine.
struct TextRule {
  std::string_view allowed;
  std::string_view (*reason)(std::string_view text);
};

template <class Field>
auto text(Field field, TextRule rule) {
  return make_codec(
      std::string(rule.allowed), "", field,
      [rule](std::string_view found) -> Parsed<std::string> {
        if (const std::string_view reason = rule.reason(found); !reason.empty())
          return tl::unexpected(std::string(reason));
        return std::string(found);
      },
      [](const std::string& value) { return value; });
}

}  // namespace pgweir::config
