<?php
// Sessions in a Redis with a replica: a page is answered when the replica has the update too. Prepended to each page of the
// store `redis-pair`. It asks what php-redis' own handler asks, without a lock, and then WAITs.

declare(strict_types=1);

session_set_save_handler(new class implements SessionHandlerInterface, SessionUpdateTimestampHandlerInterface {
    private const REPLICAS = 1;
    private const MILLISECONDS = 1000;

    private Redis $redis;
    private int $lifetime;

    public function open(string $path, string $name): bool
    {
        [$host, $port] = explode(':', $path);
        $this->redis = new Redis();
        $this->lifetime = (int) ini_get('session.gc_maxlifetime');
        return $this->redis->connect($host, (int) $port);
    }

    public function read(string $id): string
    {
        return (string) $this->redis->get("session:$id");
    }

    public function write(string $id, string $data): bool
    {
        // WAIT is for what this connection has written, so that PHP's own module could not be asked to write.
        return $this->redis->setEx("session:$id", $this->lifetime, $data)
            && $this->redis->wait(self::REPLICAS, self::MILLISECONDS) >= self::REPLICAS;
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->redis->expire("session:$id", $this->lifetime);
    }

    public function validateId(string $id): bool
    {
        return (bool) $this->redis->exists("session:$id");
    }

    public function destroy(string $id): bool
    {
        return $this->redis->del("session:$id") >= 0;
    }

    public function gc(int $lifetime): int
    {
        return 0;
    }

    public function close(): bool
    {
        return $this->redis->close();
    }
});
