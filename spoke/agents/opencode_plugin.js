// Says on the stdout of `opencode acp` what the Agent Client Protocol leaves out.
//
// opencode loads it because our settings name it, never a repository's. Each line is a notification
// of the protocol, `_coord/event`, written whole, before what the protocol itself says of the same.

const say = (params) =>
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", method: "_coord/event", params }) + "\n")

// When the provider may be asked again, in ms since 1970, where its answer says that.
const retryAt = (headers) => {
  const after = Number.parseFloat(headers["retry-after-ms"]) / 1000 || headers["retry-after"]
  const at = Number(after) >= 0 ? Date.now() + Number(after) * 1000 : Date.parse(after)
  return Number.isFinite(at) ? Math.round(at) : null
}

// The provider's own word for what is wrong.
const code = (body) => {
  try {
    return JSON.parse(body).error.code ?? null
  } catch {
    return null
  }
}

const waiting = new Set() // conversations, those of its subagents too, whose provider makes them wait
const models = new Map() // of each conversation
let answer = "" // the last one that was begun
let step = "" // the last one that was counted

const news = {
  "session.status": ({ sessionID, status }) => {
    if (status.type === "retry") {
      waiting.add(sessionID)
      return { type: "waits", message: status.message, until: status.next }
    }
    return waiting.delete(sessionID) ? { type: "goesOn" } : null
  },
  "session.error": ({ error }) =>
    error && {
      type: "failed",
      name: error.name,
      message: error.data?.message,
      status: error.data?.statusCode,
      code: code(error.data?.responseBody),
      retryAt: retryAt(error.data?.responseHeaders ?? {}),
    },
  "session.compacted": () => ({ type: "compacted" }),
  "message.updated": ({ info }) => {
    if (info.role !== "assistant" || info.id === answer) return null
    answer = info.id
    models.set(info.sessionID, `${info.providerID}/${info.modelID}`)
    return { type: "answers", messageId: info.parentID }
  },
  "message.part.updated": ({ part }) => {
    if (part.type !== "step-finish" || part.id === step) return null
    step = part.id
    const { input, output, reasoning, cache } = part.tokens
    const tokensIn = input + cache.read + cache.write
    return { type: "used", tokensIn, tokensOut: output + reasoning, model: models.get(part.sessionID) }
  },
}

// What opencode itself must be started with and the commands that it runs have no use for: the key
// to its own port, and that nothing is fetched while it starts.
const OURS = ["OPENCODE_SERVER_PASSWORD", "NPM_CONFIG_OFFLINE"]

const hooks = {
  config: async (settings) => {
    for (const one of Object.values(settings.mcp ?? {}))
      if (one.type === "local")
        one.environment = { ...Object.fromEntries(OURS.map((name) => [name, ""])), ...one.environment }
  },
  event: async ({ event }) => {
    const said = news[event.type]?.(event.properties)
    if (said) say({ sessionId: event.properties.sessionID, ...said })
  },
  "chat.message": async ({ sessionID }, { message }) => {
    for (const name of OURS) delete process.env[name]
    say({ type: "told", sessionId: sessionID, messageId: message.id })
  },
}

// An opencode that one of its commands starts has settings and stdout for somebody else.
const server = async () => (process.argv.includes("acp") ? hooks : {})

export default { id: "coord", server }
