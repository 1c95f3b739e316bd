"""What runs on a worker: programs that came as bytes, the life of a node. Refuses engine, store and API."""
