"""The tabs, a file each: `TITLE`, `TEXTS`, `build(context)` and, where needed, `routes(context)`; see ui/build.py."""
