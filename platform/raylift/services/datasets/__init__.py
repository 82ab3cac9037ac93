"""Datasets: uploads, registered addresses, versions, and the data of jobs."""
