"""report.html, charts, tables and notebook output. Imported by publish and commands; never imports runner."""
