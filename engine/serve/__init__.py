"""`weft serve`: graphs behind HTTP. One engine, a queue that outlasts the process, events as they happen, files.

Nothing here reads a graph, settles a setting or words a problem: `Admission` checks a request with what `weft check`
calls, `Dispatcher` runs it with what `weft run` calls. Start reading at `service` (what a server holds), then
`run_queue` (what is written down), `dispatcher` (what runs, and when), `web_app` (paths and methods).
"""
