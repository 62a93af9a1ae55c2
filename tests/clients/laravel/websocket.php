<?php

return [
    'server' => [
        'url' => env('WEBSOCKET_SERVER_URL', 'https://realtime.mechamap.com'),
        'host' => env('WEBSOCKET_SERVER_HOST', 'realtime.mechamap.com'),
        'port' => env('WEBSOCKET_SERVER_PORT', 443),
        'secure' => env('WEBSOCKET_SERVER_SECURE', true),
    ],

    'api_key' => env('WEBSOCKET_API_KEY'),
    'api_key_hash' => env('WEBSOCKET_API_KEY_HASH'),

    'broadcasting' => [
        'url' => env('NODEJS_BROADCAST_URL', 'https://realtime.mechamap.com'),
        'timeout' => 10,
        'retry_attempts' => 3,
    ],

    'events' => [
        'notification' => 'notification',
        'thread_updated' => 'thread_updated',
        'new_reply' => 'new_reply',
        'user_online' => 'user_online',
        'user_offline' => 'user_offline',
    ],
];
