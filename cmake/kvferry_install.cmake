# The package for C++ and C: library, headers, config files, docs. The command line and its completions are installed by tools/kvferry.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/kvferry")

install(TARGETS kvferry EXPORT kvferryTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" NAMELINK_COMPONENT dev)
install(DIRECTORY include/kvferry DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(EXPORT kvferryTargets NAMESPACE kvferry:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/kvferryConfig.cmake.in "${PROJECT_BINARY_DIR}/kvferryConfig.cmake"
                              INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/kvferryConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/kvferryConfig.cmake" "${PROJECT_BINARY_DIR}/kvferryConfigVersion.cmake"
        DESTINATION "${package_dir}")

# For those who ask pkg-config: C programs without CMake, cgo, Rust build scripts. Found from where it lies, so the tree can move.
set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}/${pc_dir}" OUTPUT_VARIABLE pc_to_prefix)
configure_file(cmake/kvferry.pc.in "${PROJECT_BINARY_DIR}/kvferry.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/kvferry.pc" DESTINATION "${pc_dir}")

file(GLOB docs "${PROJECT_SOURCE_DIR}/*.md" "${PROJECT_SOURCE_DIR}/LICENSE")
file(GLOB more_docs "${PROJECT_SOURCE_DIR}/docs/*.md")
install(FILES ${docs} DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES ${more_docs} DESTINATION "${CMAKE_INSTALL_DOCDIR}/docs")
# What the pages point to.
install(DIRECTORY docs/results DESTINATION "${CMAKE_INSTALL_DOCDIR}/docs" FILES_MATCHING PATTERN "*.json")
install(DIRECTORY examples DESTINATION "${CMAKE_INSTALL_DOCDIR}" PATTERN "__pycache__" EXCLUDE PATTERN ".*" EXCLUDE)

# The manifest names files but not the prefix, which the uninstall must not climb above.
install(CODE "file(WRITE \"${PROJECT_BINARY_DIR}/install_prefix.txt\" \"\${CMAKE_INSTALL_PREFIX}\")")
add_custom_target(uninstall
  COMMAND "${CMAKE_COMMAND}" "-DBUILD=${PROJECT_BINARY_DIR}" -P "${PROJECT_SOURCE_DIR}/cmake/kvferry_uninstall.cmake"
  COMMENT "Removing what install_manifest.txt lists" VERBATIM)
