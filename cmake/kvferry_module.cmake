# kvferry_module(NAME DEPENDS ... [EXCLUDE ...]): a static library kvferry_NAME from src/NAME and, beside it, its tests.
# A module is foo.hpp, foo.cpp, foo_test.cpp, side by side; sources not named foo_test.cpp belong to the library.
# Which files a build takes follows from their names:
#   cuda_*.cpp, *.cu, *_gpu_test.cpp   with CUDA only
#   *_none.cpp                         without CUDA only: the same functions, refusing
#   ucp_*.cpp                          with UCX's headers only
#   *_absent.cpp                       without them only
if(KVFERRY_TESTS)
  find_package(GTest REQUIRED)
  # Tells ctest "skipped" from "passed", which GoogleTest's own main does not.
  add_library(kvferry_test_main STATIC "${PROJECT_SOURCE_DIR}/tests/test_main.cpp")
  target_link_libraries(kvferry_test_main PUBLIC kvferry_options GTest::gtest GTest::gmock)
endif()

# kvferry_test(NAME TARGET LABEL TIMEOUT SOURCES... ): one test executable, registered with ctest. 77: every test in it was
# skipped, for the reason it printed.
function(kvferry_add_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "SOURCES;LINK" ${ARGN})
  add_executable(${name}_test ${arg_SOURCES})
  target_link_libraries(${name}_test PRIVATE kvferry_test_main ${arg_LINK})
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
  kvferry_sanitized_test(${name})
  set_property(GLOBAL APPEND PROPERTY KVFERRY_TEST_EXECUTABLES ${name}_test)
endfunction()

function(kvferry_module name)
  cmake_parse_arguments(arg "" "" "DEPENDS;EXCLUDE" ${ARGN})
  set(dir "${CMAKE_CURRENT_SOURCE_DIR}/${name}")
  string(REPLACE "/" "_" module "${name}")
  file(GLOB sources CONFIGURE_DEPENDS "${dir}/*.cpp" "${dir}/*.cu")
  if(KVFERRY_WITH_CUDA)
    list(FILTER sources EXCLUDE REGEX "_none\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "\\.cu$|_gpu_test\\.cpp$")
    set(cuda_sources ${sources})
    list(FILTER cuda_sources INCLUDE REGEX "/cuda_[^/]*\\.cpp$")
    list(FILTER cuda_sources EXCLUDE REGEX "_none\\.cpp$")
    list(REMOVE_ITEM sources ${cuda_sources})
  endif()
  if(KVFERRY_WITH_UCX)
    list(FILTER sources EXCLUDE REGEX "_absent\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/ucp_[^/]*\\.cpp$")
  endif()
  foreach(file IN LISTS arg_EXCLUDE)
    list(REMOVE_ITEM sources "${dir}/${file}")
  endforeach()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")

  if(sources)
    add_library(kvferry_${module} STATIC ${sources})
    target_link_libraries(kvferry_${module} PUBLIC kvferry_options ${arg_DEPENDS})
    if(KVFERRY_WITH_CUDA)
      target_compile_definitions(kvferry_${module} PUBLIC KVFERRY_WITH_CUDA=1)
      # CUDA:: targets bring the toolkit's headers as system ones: not ours to warn about.
      target_link_libraries(kvferry_${module} PUBLIC CUDA::cudart_static)
    endif()
  else()
    add_library(kvferry_${module} INTERFACE)
    target_link_libraries(kvferry_${module} INTERFACE kvferry_options ${arg_DEPENDS})
  endif()

  if(KVFERRY_TESTS AND tests)
    set(gpu_tests ${tests})
    list(FILTER gpu_tests INCLUDE REGEX "_gpu_test\\.cpp$")
    list(FILTER tests EXCLUDE REGEX "_gpu_test\\.cpp$")
    if(tests)
      kvferry_add_test(${module} LABEL unit TIMEOUT 120 SOURCES ${tests} LINK kvferry_${module})
    endif()
    if(gpu_tests)
      kvferry_add_test(${module}_gpu LABEL gpu TIMEOUT 300 SOURCES ${gpu_tests} LINK kvferry_${module})
    endif()
  endif()
endfunction()
