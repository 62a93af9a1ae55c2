<?php

namespace App\Services;

use Illuminate\Support\Facades\Http;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Facades\Config;

class RealtimeNotificationService
{
    private string $baseUrl;
    private string $apiKey;
    private int $timeout;

    public function __construct()
    {
        $this->baseUrl = Config::get('websocket.server.url', 'https://realtime.mechamap.com');
        $this->apiKey = Config::get('websocket.api_key');
        $this->timeout = 10; // seconds
    }

    /**
     * Send notification to specific user
     */
    public function sendNotificationToUser(int $userId, array $notification): bool
    {
        try {
            $response = Http::timeout($this->timeout)
                ->withHeaders([
                    'X-WebSocket-API-Key' => $this->apiKey,
                    'Content-Type' => 'application/json',
                ])
                ->post("{$this->baseUrl}/api/broadcast", [
                    'event' => 'notification',
                    'to' => 'user',
                    'user_id' => $userId,
                    'data' => $notification
                ]);

            if ($response->successful()) {
                Log::info('Realtime notification sent successfully', [
                    'user_id' => $userId,
                    'notification_id' => $notification['id'] ?? null
                ]);
                return true;
            }

            Log::warning('Failed to send realtime notification', [
                'user_id' => $userId,
                'status' => $response->status(),
                'response' => $response->body()
            ]);

            return false;

        } catch (\Exception $e) {
            Log::error('Error sending realtime notification', [
                'user_id' => $userId,
                'error' => $e->getMessage()
            ]);
            return false;
        }
    }

    /**
     * Send thread update to all participants
     */
    public function sendThreadUpdate(int $threadId, array $data): bool
    {
        try {
            $response = Http::timeout($this->timeout)
                ->withHeaders([
                    'X-WebSocket-API-Key' => $this->apiKey,
                    'Content-Type' => 'application/json',
                ])
                ->post("{$this->baseUrl}/api/broadcast", [
                    'event' => 'thread_updated',
                    'to' => 'thread',
                    'thread_id' => $threadId,
                    'data' => $data
                ]);

            return $response->successful();

        } catch (\Exception $e) {
            Log::error('Error sending thread update', [
                'thread_id' => $threadId,
                'error' => $e->getMessage()
            ]);
            return false;
        }
    }

    /**
     * Send new reply notification
     */
    public function sendNewReply(int $threadId, array $reply): bool
    {
        try {
            $response = Http::timeout($this->timeout)
                ->withHeaders([
                    'X-WebSocket-API-Key' => $this->apiKey,
                    'Content-Type' => 'application/json',
                ])
                ->post("{$this->baseUrl}/api/broadcast", [
                    'event' => 'new_reply',
                    'to' => 'thread',
                    'thread_id' => $threadId,
                    'data' => $reply
                ]);

            return $response->successful();

        } catch (\Exception $e) {
            Log::error('Error sending new reply notification', [
                'thread_id' => $threadId,
                'error' => $e->getMessage()
            ]);
            return false;
        }
    }

    /**
     * Test connection to realtime server
     */
    public function testConnection(): array
    {
        try {
            $response = Http::timeout(5)
                ->get("{$this->baseUrl}/health");

            if ($response->successful()) {
                return [
                    'status' => 'success',
                    'message' => 'Connection successful',
                    'data' => $response->json()
                ];
            }

            return [
                'status' => 'error',
                'message' => 'Connection failed',
                'http_status' => $response->status()
            ];

        } catch (\Exception $e) {
            return [
                'status' => 'error',
                'message' => 'Connection error: ' . $e->getMessage()
            ];
        }
    }
}
