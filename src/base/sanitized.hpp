#pragma once

// For tests alone, of what cannot be measured in a sanitizer's build: how fast something goes, and
// how much memory is in use (the sanitizer keeps what was freed, and shadows of all of it).
namespace kvferry {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace kvferry
