# One interface target carries the language level, every warning and the sanitizers.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

# Needed to build only: whoever uses the library needs none of these.
find_package(Threads REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
# TLS between hosts. As a shared library, so that the system's security updates reach it; within executables and libraries
# that go elsewhere (bundle, wheels) as a static one, whose symbols stay hidden.
option(KVFERRY_STATIC_OPENSSL "Link OpenSSL statically" ${KVFERRY_STATIC_RUNTIME})
set(OPENSSL_USE_STATIC_LIBS ${KVFERRY_STATIC_OPENSSL})
find_package(OpenSSL 3.0 REQUIRED)

add_library(kvferry_options INTERFACE)
target_compile_features(kvferry_options INTERFACE cxx_std_20)
target_include_directories(kvferry_options INTERFACE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
target_compile_options(kvferry_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Wnon-virtual-dtor;-Wimplicit-fallthrough>")
if(KVFERRY_WERROR)
  target_compile_options(kvferry_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Werror>")
endif()
if(KVFERRY_SANITIZE)
  target_compile_options(kvferry_options INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${KVFERRY_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  target_link_options(kvferry_options INTERFACE "-fsanitize=${KVFERRY_SANITIZE}")
endif()
if(KVFERRY_STATIC_RUNTIME)
  target_link_options(kvferry_options INTERFACE
    "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-static-libstdc++;-static-libgcc>")
endif()
target_link_libraries(kvferry_options INTERFACE Threads::Threads)
if(fmt_VERSION VERSION_LESS 10)
  # Its functions are compiled once, in src/base/fmt.cpp: header-only, they cost every source three seconds.
  set(KVFERRY_COMPILES_FMT ON)
  target_include_directories(kvferry_options SYSTEM INTERFACE
    $<TARGET_PROPERTY:fmt::fmt-header-only,INTERFACE_INCLUDE_DIRECTORIES>)
else()
  set(KVFERRY_COMPILES_FMT OFF)
  target_link_libraries(kvferry_options INTERFACE fmt::fmt-header-only)
endif()
