// fmt's part that need not be in every source, compiled once: header-only, it costs each of them
// three seconds. (Debian ships fmt compiled as a shared library only, which a program that runs
// elsewhere cannot use.) For fmt 9; cmake/kvferry_options.cmake uses others header-only.
#include <fmt/format-inl.h>

// What format.h declares as instantiated elsewhere.
template auto fmt::detail::thousands_sep_impl<char>(fmt::detail::locale_ref)
    -> fmt::detail::thousands_sep_result<char>;
template auto fmt::detail::thousands_sep_impl<wchar_t>(fmt::detail::locale_ref)
    -> fmt::detail::thousands_sep_result<wchar_t>;
template char fmt::detail::decimal_point_impl(fmt::detail::locale_ref);
template wchar_t fmt::detail::decimal_point_impl(fmt::detail::locale_ref);
