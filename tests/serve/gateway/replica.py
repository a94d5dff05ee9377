"""A gateway with an engine that takes some time: ``python -m tests.serve.gateway.replica PORT``."""

import asyncio
import json
import sys

from lightmeter.serve.gateway.app import Answer, Call, gateway_app
from lightmeter.serve.gateway.server import listen, run


class SlowEngine:
    """Answers each request with the size of the photograph, after a while."""

    async def ready(self) -> bool:
        return True

    async def predict(self, call: Call) -> Answer:
        await asyncio.sleep(0.3)
        return Answer(200, json.dumps({"predictions": {}, "bytes": len(call.fields["body"])}).encode())


if __name__ == "__main__":
    run(gateway_app(SlowEngine(), None, 1_000_000), listen("127.0.0.1", int(sys.argv[1])))
