# kvferry_sanitized_test(NAME...): what tests need of their environment where KVFERRY_SANITIZE is set, and time: ten times as
# much work is usual. Suppressions, each with its reason, are in tests/sanitizers.
set(kvferry_sanitize_environment "")
if(KVFERRY_SANITIZE MATCHES "thread")
  list(APPEND kvferry_sanitize_environment
    "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/sanitizers/tsan.supp:second_deadlock_stack=1"
    # UCX hooks madvise(), which a thread also calls when it ends, after ThreadSanitizer has forgotten it: a crash in either.
    "UCX_MEM_MMAP_HOOK_MODE=none")
endif()
set(kvferry_sanitize_slower 6)

function(kvferry_sanitized_test)
  if(NOT KVFERRY_SANITIZE)
    return()
  endif()
  foreach(name IN LISTS ARGN)
    get_test_property(${name} TIMEOUT seconds)
    math(EXPR seconds "${seconds} * ${kvferry_sanitize_slower}")
    set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds})
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT ${kvferry_sanitize_environment})
  endforeach()
endfunction()
