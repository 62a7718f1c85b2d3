"""SA: durable state. SQLAlchemy and SQL stay inside this package; everybody else sees storage/contract.py."""
