"""The always-on daemon: looks at the export folder, calls what is owed, and says how it is."""
