// OpenAI's own JavaScript client against the balancer at argv[2]; prints what it saw as one JSON object.
const OpenAI = require("openai");

const client = new OpenAI({ baseURL: `http://127.0.0.1:${process.argv[2]}/v1`, apiKey: "any", maxRetries: 0 });
const asked = { model: "echo", messages: [{ role: "user", content: "one two three" }] };
const endless = { model: "echo", prompt: "one two", stream: true, max_tokens: 5000, ignore_eos: true };

async function thrown(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code };
  }
  return null;
}

async function streamed(create) {
  const chunks = [];
  for await (const chunk of await create) chunks.push(chunk);
  return {
    text: chunks.map((c) => c.choices[0]?.delta?.content ?? c.choices[0]?.text ?? "").join(""),
    ids: new Set(chunks.map((c) => c.id)).size,
    usages: chunks.filter((c) => c.usage).length,
  };
}

async function main() {
  const seen = {};
  seen.chat = (await client.chat.completions.create(asked)).choices[0].message.content;
  seen.stream = await streamed(client.chat.completions.create({ ...asked, stream: true }));
  const options = { include_usage: true };
  seen.usage = await streamed(client.chat.completions.create({ ...asked, stream: true, stream_options: options }));
  seen.gathered = await client.chat.completions.stream(asked).finalContent();
  seen.unknown = await thrown(client.models.retrieve("nobody"));
  seen.bad = await thrown(client.chat.completions.create({ ...asked, messages: [] }));
  seen.timeout = await thrown(client.completions.create({ ...endless, stream: false }, { timeout: 300 }));
  const stream = await client.completions.create(endless);
  for await (const _ of stream) break; // leaves
  seen.broken = await thrown(
    (async () => {
      let chunks = 0;
      for await (const _ of await client.completions.create(endless)) {
        if (++chunks === 5) console.error("now kill it");
      }
    })(),
  );
  console.log(JSON.stringify(seen));
}

main();
