"""Engines as services, in processes of their own: clients, seats, supervision; uploads and long films."""
