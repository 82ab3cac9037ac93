"""Upload a Python training script, get an autoscaled REST endpoint.

Importing this package loads no Ray, MLflow, SQLAlchemy or FastAPI.
"""

__version__ = "0.1.0"
