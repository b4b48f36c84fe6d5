// Vercel's AI SDK against a server: an object of a schema, a stream of one, a tool that must be called, a plain stream.
// node vercel_ai.cjs FOLDER-WITH-node_modules ADDRESS/v1; prints one JSON object.
const { createRequire } = require("node:module");

const load = createRequire(`${process.argv[2]}/`);
const { generateObject, generateText, streamObject, streamText, tool } = load("ai");
const { createOpenAICompatible } = load("@ai-sdk/openai-compatible");
const { z } = load("zod");

const provider = createOpenAICompatible({
  name: "swift", baseURL: process.argv[3], apiKey: "EMPTY", supportsStructuredOutputs: true,
});
const asked = { model: provider("smollm2"), prompt: "Paris has 2 million people.", maxOutputTokens: 60, maxRetries: 0 };
const schema = z.object({ name: z.enum(["Paris", "Rome"]), people: z.number().int() });
const weather = tool({ description: "Weather of a city.", inputSchema: z.object({ city: z.string().max(20) }) });

async function main() {
  const found = {};
  found.object = (await generateObject({ ...asked, schema })).object;
  const stream = streamObject({ ...asked, schema });
  found.parts = 0;
  for await (const part of stream.partialObjectStream) found.parts += part ? 1 : 0;
  found.streamed = await stream.object;
  const called = await generateText({ ...asked, tools: { weather }, toolChoice: "required" });
  found.calls = called.toolCalls.map((call) => [call.toolName, call.input]);
  found.text = "";
  for await (const piece of streamText(asked).textStream) found.text += piece;
  console.log(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error, error.responseBody ?? "");
  process.exit(1);
});
