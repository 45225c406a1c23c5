"""Real services on one machine, each started and stopped by who needs it, in folders and on ports of its own.

A queue (SLURM), a database (PostgreSQL), a broker (RabbitMQ), a machine behind SSH, and an AiiDA profile that uses
them. ``scripts/install-services.sh`` installs the programs; where one cannot run, ``ServiceMissingError`` says why.
"""
