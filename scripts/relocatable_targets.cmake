# Include directories of one machine that targets export: CMake refuses those that do not exist,
# and those within the source tree, where a virtual environment may well lie.

# ROS 2 wheels export the Python include directory of the machine that built them. With any other
# ROS 2 this changes nothing. IMPORTED_TARGETS is known from CMake 3.21 on; wheels need a newer one.
if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.21)
  get_property(_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_directories ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(_directories MATCHES "/opt/python/cp")
      list(FILTER _directories EXCLUDE REGEX "^/opt/python/cp")
      set_target_properties(${_target} PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${_directories}")
    endif()
  endforeach()
endif()

# rosidl exports the include directory of numpy, which is for this build only.
set(_target ${PROJECT_NAME}__rosidl_generator_py)
if(TARGET ${_target})
  get_target_property(_directories ${_target} INTERFACE_INCLUDE_DIRECTORIES)
  if(_directories)
    list(TRANSFORM _directories REPLACE "^(/.*)$" "$<BUILD_INTERFACE:\\1>")
    set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_directories}")
  endif()
endif()
