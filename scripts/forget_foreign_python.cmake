# ROS 2 wheels export the Python include directory of the machine that built them, and CMake
# refuses an include directory that does not exist. With any other ROS 2 this changes nothing.
# IMPORTED_TARGETS is known from CMake 3.21 on; wheels come with a newer one (see requirements/).
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
