"""How the embedded models were trained: pictures, captions, stages and measurements. No run imports this."""
