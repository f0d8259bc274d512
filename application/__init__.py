"""Use cases over the domain: ports, services, projections and the event store."""
