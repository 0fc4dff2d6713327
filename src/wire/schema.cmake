# control.fbs -> control_generated.h, seen by src/wire's own sources and tests alone.
find_program(KVFERRY_FLATC flatc)
find_path(KVFERRY_FLATBUFFERS_INCLUDE flatbuffers/flatbuffers.h)
if(NOT KVFERRY_FLATC OR NOT KVFERRY_FLATBUFFERS_INCLUDE)
  message(FATAL_ERROR "kvferry: FlatBuffers was not found; install it (Debian: flatbuffers-compiler libflatbuffers-dev), or set KVFERRY_FLATC and KVFERRY_FLATBUFFERS_INCLUDE")
endif()
set(wire_schema "${CMAKE_CURRENT_SOURCE_DIR}/wire/control.fbs")
set(wire_generated "${CMAKE_CURRENT_BINARY_DIR}/wire_generated")
add_custom_command(
  OUTPUT "${wire_generated}/control_generated.h"
  COMMAND "${KVFERRY_FLATC}" --cpp --cpp-std c++17 --scoped-enums -o "${wire_generated}" "${wire_schema}"
  DEPENDS "${wire_schema}" VERBATIM)
foreach(target kvferry_wire wire_test)
  if(TARGET ${target})
    target_sources(${target} PRIVATE "${wire_generated}/control_generated.h")
    # Generated code and FlatBuffers' headers are not ours to warn about.
    target_include_directories(${target} SYSTEM PRIVATE "${wire_generated}" "${KVFERRY_FLATBUFFERS_INCLUDE}")
  endif()
endforeach()
