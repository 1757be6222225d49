"""A test-only stand-in for the part of 3D Slicer that slicer-core lacks: Qt, CTK and MRML widgets, the application.

The scene is the real one (slicer-core). The widgets are PySide6's, behind PythonQt's manners: properties are attributes,
signals are connected by their signatures. It is strict: a class, property, method or signal that it does not know raises,
and an exception inside a slot makes the test fail that caused it. See `install.install`.
"""
