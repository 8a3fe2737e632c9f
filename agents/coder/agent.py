"""A coding agent: it asks a model what to do next, and does it by the tools that it is given.

Standard library only. It knows nothing of Stockade but two things that any MCP client and any OpenAI client know:

  STOCKADE_MCP_FD   a connected socket on which an MCP server speaks (newline-delimited JSON-RPC)
  OPENAI_BASE_URL   where the model is

    agent.py [--model NAME] [--turns N] TASK

What it may do is not written here. A tool that is denied is a result like any other: the model is told why, and may
try something else. It ends with 0 when the model has nothing more to do, with 1 when it cannot go on.
"""

import argparse
import http.client
import json
import os
import socket
import sys
import urllib.parse

PROTOCOL = "2025-06-18"
SYSTEM = (
    "You are a coding agent. Work on the git repository in your workspace by calling tools. "
    "When a tool is denied, read the reason and go on without it. When the task is done, answer without a tool call."
)


class Tools:
    """The MCP server's side of what the agent can do."""

    def __init__(self, fd):
        self._stream = socket.socket(fileno=fd).makefile("rwb")
        self._last = 0
        self._request("initialize", {
            "protocolVersion": PROTOCOL,
            "capabilities": {},
            "clientInfo": {"name": "coder", "version": "1"},
        })
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def list(self):
        """All tools, page by page."""
        tools, cursor = [], None
        while True:
            page = self._request("tools/list", {"cursor": cursor} if cursor else {})
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return tools

    def call(self, name, arguments):
        """The text of a result, and whether it is one."""
        try:
            result = self._request("tools/call", {"name": name, "arguments": arguments})
        except RuntimeError as error:
            return str(error), False
        texts = [part["text"] for part in result.get("content", []) if part.get("type") == "text"]
        return "\n".join(texts), not result.get("isError", False)

    def _send(self, message):
        self._stream.write(json.dumps(message).encode() + b"\n")
        self._stream.flush()

    def _request(self, method, params):
        self._last += 1
        self._send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        for line in self._stream:
            message = json.loads(line)
            if message.get("id") == self._last and "method" not in message:
                if "error" in message:
                    raise RuntimeError(message["error"]["message"])
                return message["result"]
        raise EOFError("the MCP server is gone")


class Model:
    """Any endpoint that speaks OpenAI's chat completions."""

    def __init__(self, base, name):
        self._base, self._name = urllib.parse.urlsplit(base), name

    def next(self, messages, tools):
        """The model's next message."""
        kind = http.client.HTTPSConnection if self._base.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._base.hostname, self._base.port, timeout=300)
        body = {"model": self._name, "messages": messages, "tools": tools}
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ.get("OPENAI_API_KEY", "none")}
        connection.request("POST", self._base.path + "/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the model's endpoint answered {answer.status}: {text[:500]}")
        return json.loads(text)["choices"][0]["message"]


def function(tool):
    """A tool as the model is told of it. Its names know no dots."""
    return {
        "type": "function",
        "function": {
            "name": tool["name"].replace(".", "__"),
            "description": tool.get("description", ""),
            "parameters": tool["inputSchema"],
        },
    }


def say(text):
    print(text, flush=True)


def work(task, tools, model, turns):
    """Does what the model says, until it says nothing more."""
    offered = [function(tool) for tool in tools.list()]
    say("tools: " + ", ".join(sorted(tool["function"]["name"] for tool in offered)))
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]
    for _ in range(turns):
        message = model.next(messages, offered)
        messages.append(message)
        if message.get("content"):
            say("model: " + message["content"])
        calls = message.get("tool_calls") or []
        if not calls:
            return 0
        for call in calls:
            name = call["function"]["name"].replace("__", ".")
            try:
                arguments = json.loads(call["function"]["arguments"] or "{}")
            except ValueError as error:
                text, done = f"the arguments are not JSON: {error}", False
            else:
                text, done = tools.call(name, arguments)
            say(f"{'did' if done else 'not done'}: {name} {call['function']['arguments'][:200]}")
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    say(f"no end after {turns} turns")
    return 1


def main():
    parser = argparse.ArgumentParser(description="A coding agent.")
    parser.add_argument("task")
    parser.add_argument("--model", default="small-1")
    parser.add_argument("--turns", type=int, default=50)
    options = parser.parse_args()
    try:
        tools = Tools(int(os.environ["STOCKADE_MCP_FD"]))
        model = Model(os.environ["OPENAI_BASE_URL"], options.model)
        return work(options.task, tools, model, options.turns)
    except KeyError as missing:
        say(f"not set: {missing}; this agent is started by something that offers tools and a model")
    except (EOFError, OSError, RuntimeError, ValueError) as error:
        say(f"cannot go on: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
