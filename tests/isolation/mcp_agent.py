import json, os, socket

class Agent:
    """A native agent's MCP session, on the socket that it inherited."""

    def __init__(self):
        self.socket = socket.socket(fileno=int(os.environ["STOCKADE_MCP_FD"]))
        self.lines = self.socket.makefile("rb")
        self.last = 0
        self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "test", "version": "1"})
        self.tell("notifications/initialized")

    def tell(self, method, **params):
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n")

    def send(self, method, **params):
        self.last += 1
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}).encode() + b"\n")
        return self.last

    def line(self):
        return self.lines.readline().decode()

    def ask(self, method, **params):
        self.send(method, **params)
        return json.loads(self.line())

    def tools(self):
        names, cursor = [], {}
        while True:
            result = self.ask("tools/list", **cursor)["result"]
            names += [tool["name"] for tool in result["tools"]]
            if "nextCursor" not in result:
                return names
            cursor = {"cursor": result["nextCursor"]}

    def call(self, tool, **args):
        return self.ask("tools/call", name=tool, arguments=args)["result"]

    def text(self, tool, **args):
        result = self.call(tool, **args)
        return ("error: " if result.get("isError") else "") + result["content"][0]["text"]
