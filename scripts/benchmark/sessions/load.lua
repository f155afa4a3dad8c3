-- What wrk asks, and whether what it is told is right.
--
-- A session is used by one connection at a time, and the one that has rested longest comes next. Each answer must show the
-- count that follows from the one before: one more after an update, the same after a look.
--
-- Environment: BENCH_HOST (the site's name), BENCH_UPDATES ("yes": each request updates), BENCH_SESSIONS (a file of lines
-- `ID SURE [WHERE COUNT]…`, written anew in the end), BENCH_APART ("yes": each node has sessions of its own), BENCH_RESULT.

local host, updates = os.getenv("BENCH_HOST"), os.getenv("BENCH_UPDATES") == "yes"
local apart = os.getenv("BENCH_APART") == "yes"
local queue, first, last = {}, 1, 0
local counts, sure, asking, wrong, example = {}, {}, {}, 0, ""
local begun = false

-- wrk runs this file twice: in its thread, which sends, and in its own, which says what came out.
local sender
function setup(thread)
    sender = thread
end

local function free(id)
    if asking[id] then
        asking[id] = nil
        last = last + 1
        queue[last] = id
    end
end

-- What the sender knows in the end, as lines of BENCH_SESSIONS.
local function sessions()
    local lines = {}
    for id, places in pairs(counts) do
        -- Of an answer that did not come before the end, nobody knows what the session holds.
        local line = { id, sure[id] and not asking[id] and "yes" or "no" }
        for where, count in pairs(places) do
            table.insert(line, where .. " " .. count)
        end
        table.insert(lines, table.concat(line, " ") .. "\n")
    end
    return table.concat(lines)
end

function init()
    -- Other threads read global texts and numbers (a table crashes wrk 4.1): these are made when they are asked for.
    local told = {
        sessions = sessions,
        wrong = function() return wrong end,
        example = function() return example end,
    }
    setmetatable(_G, { __index = function(_, name) return told[name] and told[name]() end })
    for line in io.lines(os.getenv("BENCH_SESSIONS")) do
        local id, is_sure, rest = line:match("^(%S+) (%S+)(.*)$")
        counts[id], sure[id] = {}, is_sure == "yes"
        for where, count in rest:gmatch("(%S+) (%d+)") do
            counts[id][where] = tonumber(count)
        end
        asking[id] = true
        free(id)
    end
end

local function complain(text)
    wrong = wrong + 1
    example = text
end

-- Where an answer was lost, a session is still held for busy: it comes back, and what it holds is not known exactly.
local function next_session()
    if first > last then
        for id in pairs(asking) do
            sure[id] = false
            free(id)
        end
    end
    local id = queue[first]
    queue[first] = nil
    first = first + 1
    asking[id] = true
    return id
end

local head = "GET /" .. (updates and "" or "?read") .. " HTTP/1.1\r\nHost: " .. host .. "\r\nCookie: PHPSESSID="
function request()
    -- The first one is only to see what it looks like; it is never sent.
    if not begun then
        begun = true
        return head .. "none\r\n\r\n"
    end
    return head .. next_session() .. "\r\n\r\n"
end

function response(status, _, body)
    local id, count, node = body:match("^(%S+) (%d+) (%S+)\n$")
    if status ~= 200 or not counts[id] then
        return complain(status .. ": " .. body:sub(1, 200))
    end
    local where = apart and node or "-"
    local before, is = counts[id][where] or 0, tonumber(count)
    local least = updates and before + 1 or before
    if is < least or (is > least and sure[id]) then
        complain(("a session at %d should be at %d on %s"):format(is, least, node))
    end
    counts[id][where] = is
    sure[id] = sure[id] or not apart
    free(id)
end

function done(summary, latency, _)
    local file = io.open(os.getenv("BENCH_SESSIONS"), "w")
    file:write(sender:get("sessions"))
    file:close()
    local result = io.open(os.getenv("BENCH_RESULT"), "w")
    local errors = summary.errors
    result:write(("%d %d %d %d %d %d\n%s\n"):format(
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.timeout, sender:get("wrong"), sender:get("example")))
    result:close()
end
