"""Migrations, run by storage/admin.py and packaged with the program."""
