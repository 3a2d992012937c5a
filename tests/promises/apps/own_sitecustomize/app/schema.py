"""Make the tables."""

from company_database import engine
from models import Base

Base.metadata.create_all(engine)
print("tables:", ", ".join(sorted(Base.metadata.tables)))
