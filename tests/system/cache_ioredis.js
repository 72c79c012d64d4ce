// The cache as a program on node uses it, by ioredis: pipelines, transactions, messages, commands that it batches by itself.
// Prints what it did; exits 1 with the first thing that is wrong.
//
//     NODE_PATH=... node cache_ioredis.js ADDRESS [PORT]
"use strict";
const assert = require("node:assert/strict");
const Redis = require("ioredis");

const host = process.argv[2], port = Number(process.argv[3] || 6379);
const open = (options) => new Redis({ host, port, maxRetriesPerRequest: 1, retryStrategy: null, ...options });

async function pipelines(redis) {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 500; i++) pipeline.set(`io:${i}`, i).get(`io:${i}`);
    const replies = await pipeline.exec();
    assert.equal(replies.length, 1000);
    replies.forEach(([error, value], i) => assert.deepEqual([error, value], [null, i % 2 ? String((i - 1) / 2) : "OK"]));
}

async function transactions(redis) {
    await redis.del("io:n", "io:l");
    assert.deepEqual(await redis.multi().incr("io:n").rpush("io:l", "a", "b").lrange("io:l", 0, -1).exec(),
        [[null, 1], [null, 2], [null, ["a", "b"]]]);
    await redis.watch("io:n");
    const other = open();
    await other.incr("io:n");
    other.disconnect();
    assert.equal(await redis.multi().incr("io:n").exec(), null, "a watched key changed");
    const [[, good], [error]] = await redis.multi().incr("io:n").incr("io:l").exec();
    assert.equal(good, 3);
    assert.match(error.message, /^WRONGTYPE Operation against a key holding the wrong kind of value$/);
}

async function messages(redis) {
    const subscriber = open(), got = [];
    const all = new Promise((done) => {
        const heard = (...words) => { if (got.push(words) === 200) done(); };
        subscriber.on("message", (channel, text) => heard("message", channel, text));
        subscriber.on("pmessage", (pattern, channel, text) => heard(pattern, channel, text));
    });
    assert.equal(await subscriber.subscribe("io:news"), 1);
    assert.equal(await subscriber.psubscribe("io:*"), 2);
    for (let i = 0; i < 100; i++) assert.equal(await redis.publish("io:news", i), 2);
    await all;
    got.forEach((words, i) => assert.deepEqual(words, [i % 2 ? "io:*" : "message", "io:news", String(Math.floor(i / 2))]));
    await subscriber.quit();
}

async function batches() {
    const redis = open({ enableAutoPipelining: true });
    await Promise.all(Array.from({ length: 2000 }, (_, i) => redis.set(`io:auto:${i}`, i)));
    const values = await Promise.all(Array.from({ length: 2000 }, (_, i) => redis.get(`io:auto:${i}`)));
    values.forEach((value, i) => assert.equal(value, String(i)));
    await redis.quit();
}

async function types(redis) {
    await redis.del("io:h", "io:z");
    await redis.hset("io:h", { a: 1, b: 2 });
    assert.deepEqual(await redis.hgetall("io:h"), { a: "1", b: "2" });
    await redis.zadd("io:z", 1, "one", 2.5, "two");
    assert.deepEqual(await redis.zrange("io:z", 0, -1, "WITHSCORES"), ["one", "1", "two", "2.5"]);
    const bytes = Buffer.from([0, 255, 13, 10]);
    await redis.set("io:bytes", bytes);
    assert.deepEqual(await redis.getBuffer("io:bytes"), bytes);
    const found = new Set();
    for await (const keys of redis.scanStream({ match: "io:auto:*", count: 100 })) keys.forEach((key) => found.add(key));
    assert.equal(found.size, 2000);
    assert.deepEqual(await redis.blpop("io:none", 0.05), null);
}

async function all() {
    const redis = open();
    await pipelines(redis);
    await transactions(redis);
    await messages(redis);
    await batches();
    await types(redis);
    await redis.quit();
    console.log(`ioredis ${require("ioredis/package.json").version}: pipelines, transactions, messages, batches, types`);
}

all().catch((error) => {
    console.log(error);
    process.exit(1);
});
