<?php

// The parts of Laravel that the document's code uses, on Guzzle, as Laravel's own HTTP client.

namespace Illuminate\Support\Facades {
    class Config
    {
        private static array $files = [];

        public static function get(string $key, mixed $default = null): mixed
        {
            [$file, $path] = explode('.', $key, 2);
            $value = self::$files[$file] ??= require __DIR__ . "/$file.php";
            foreach (explode('.', $path) as $name) {
                $value = $value[$name] ?? null;
            }
            return $value ?? $default;
        }
    }

    class Log
    {
        public static array $lines = [];

        public static function __callStatic(string $level, array $line): void
        {
            self::$lines[] = [$level, ...$line];
        }
    }

    class Http
    {
        private function __construct(private array $options)
        {
        }

        public static function timeout(int $seconds): self
        {
            return new self(['timeout' => $seconds, 'connect_timeout' => 10, 'http_errors' => false]);
        }

        public function withHeaders(array $headers): self
        {
            return new self($this->options + ['headers' => $headers]);
        }

        public function get(string $url): Response
        {
            return $this->send('GET', $url, []);
        }

        public function post(string $url, array $data): Response
        {
            return $this->send('POST', $url, ['json' => $data]);
        }

        private function send(string $method, string $url, array $options): Response
        {
            return new Response((new \GuzzleHttp\Client())->request($method, $url, $this->options + $options));
        }
    }

    class Response
    {
        private string $body;

        public function __construct(private \Psr\Http\Message\ResponseInterface $answer)
        {
            $this->body = (string) $answer->getBody();
        }

        public function status(): int
        {
            return $this->answer->getStatusCode();
        }

        public function successful(): bool
        {
            return intdiv($this->status(), 100) === 2;
        }

        public function body(): string
        {
            return $this->body;
        }

        public function json(): mixed
        {
            return json_decode($this->body, true);
        }
    }
}

namespace Illuminate\Support {
    class ServiceProvider
    {
        public function __construct(protected object $app)
        {
        }
    }
}

namespace Illuminate\Console {
    class Command
    {
        public array $printed = [];

        public function __call(string $method, array $line): void
        {
            $this->printed[] = [$method, ...$line];
        }
    }
}

namespace {
    class Application
    {
        private array $made = [];
        private array $makers = [];

        public function singleton(string $class, callable $maker): void
        {
            $this->makers[$class] = $maker;
        }

        public function make(string $class): object
        {
            return $this->made[$class] ??= ($this->makers[$class])($this);
        }
    }

    class Controller
    {
    }

    #[AllowDynamicProperties]
    class Request
    {
        public function __construct(array $input)
        {
            foreach ($input as $name => $value) {
                $this->$name = $value;
            }
        }
    }

    class Timestamp extends DateTimeImmutable
    {
        public function toISOString(): string
        {
            return $this->setTimezone(new DateTimeZone('UTC'))->format('Y-m-d\TH:i:s.u\Z');
        }
    }

    #[AllowDynamicProperties]
    class ThreadReply
    {
        public static function create(array $fields): self
        {
            $reply = new self();
            foreach ($fields + ['id' => 789, 'created_at' => now()] as $name => $value) {
                $reply->$name = $value;
            }
            return $reply;
        }
    }

    class Guard
    {
        public function id(): int
        {
            return 2;
        }

        public function user(): object
        {
            $avatar = '/images/users/avatars/jane.jpg';
            return (object) ['name' => 'Jane Smith', 'avatar_url' => $avatar, 'avatar' => $avatar, 'role' => 'member'];
        }
    }

    class Answers
    {
        public function json(array $data): array
        {
            return $data;
        }
    }

    function env(string $name, mixed $default = null): mixed
    {
        $value = getenv($name);
        return $value === false ? $default : $value;
    }

    function auth(): Guard
    {
        return new Guard();
    }

    function now(): Timestamp
    {
        return new Timestamp();
    }

    function response(): Answers
    {
        return new Answers();
    }
}
