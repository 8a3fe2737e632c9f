// The client of the npm SDK, unchanged, on the socket that a native agent inherits.
import net from "node:net";
import { Client } from "/opt/stockade-tests/mcp/node_modules/@modelcontextprotocol/sdk/dist/esm/client/index.js";
import { ReadBuffer, serializeMessage } from "/opt/stockade-tests/mcp/node_modules/@modelcontextprotocol/sdk/dist/esm/shared/stdio.js";

class Inherited {
  async start() {
    this.buffer = new ReadBuffer();
    this.socket = new net.Socket({ fd: Number(process.env.STOCKADE_MCP_FD) });
    this.socket.on("data", (bytes) => {
      this.buffer.append(bytes);
      for (let m; (m = this.buffer.readMessage()) !== null; ) this.onmessage(m);
    });
    this.socket.on("close", () => this.onclose?.());
  }
  async send(message) { this.socket.write(serializeMessage(message)); }
  async close() { this.socket.destroy(); }
}

const client = new Client({ name: "test", version: "1" });
await client.connect(new Inherited());
console.log((await client.listTools()).tools.map((tool) => tool.name).join());
const read = await client.callTool({ name: "workspace.read", arguments: { path: "a.txt" } });
console.log(JSON.parse(read.content[0].text).content.trim(), !!read.isError);
const denied = await client.callTool({ name: "clock", arguments: {} });
console.log(denied.isError, JSON.parse(denied.content[0].text).error);
await client.ping();
await client.close();
