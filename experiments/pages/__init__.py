"""Pages of the documentation that are made from code and result files; `hook.py` hands them to MkDocs."""
