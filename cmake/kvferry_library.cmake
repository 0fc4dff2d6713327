# kvferry_shared_library(MODULE...): libkvferry.so from the objects of the modules named. It shows what KVFERRY_API marks and
# nothing else; the CUDA runtime and every other static library inside stay hidden, so it can live beside other copies.
function(kvferry_shared_library)
  add_library(kvferry SHARED)
  add_library(kvferry::kvferry ALIAS kvferry)
  # Objects, not archives: the linker takes from an archive only what something already refers to.
  foreach(module IN LISTS ARGN)
    get_target_property(type kvferry_${module} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      target_sources(kvferry PRIVATE $<TARGET_OBJECTS:kvferry_${module}>)
    endif()
    # For what the modules themselves link (cudart, threads); their own archives add nothing to the objects above.
    target_link_libraries(kvferry PRIVATE kvferry_${module})
  endforeach()
  target_compile_features(kvferry PUBLIC cxx_std_20)
  target_include_directories(kvferry INTERFACE
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  set(map "${PROJECT_SOURCE_DIR}/cmake/kvferry.map")
  set_target_properties(kvferry PROPERTIES
    VERSION ${PROJECT_VERSION}
    # Before 1.0 a minor release may break the ABI, so it names it.
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    LINKER_LANGUAGE CXX
    LINK_DEPENDS "${map}")
  target_link_options(kvferry PRIVATE "LINKER:--version-script=${map}" "LINKER:--exclude-libs,ALL")
  if(NOT KVFERRY_SANITIZE)
    # Sanitizer runtimes live in the executable; otherwise nothing may be left to find (libcuda above all).
    target_link_options(kvferry PRIVATE "LINKER:-z,defs")
  endif()
endfunction()
