"""`weft work URL`: runs what waits in the queue of a server on another machine, by leases.

A worker has an engine of its own, with models of its own, and asks the server over HTTP; the server asks it nothing.
Start reading at `queue_worker` (what a worker does), then `leased_run` (one run), `lease_calls` (the requests). The
server's side is `weft.engine.serve.leases`. Nothing here needs the packages of a server.
"""
