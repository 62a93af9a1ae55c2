<?php

// php drive.php: runs the document's controllers, service and command. The last line of the output is the results, as
// JSON.

error_reporting(E_ALL);
set_error_handler(fn (int $level, string $message, string $file, int $line) => throw new ErrorException($message, 0, $level, $file, $line));

require 'GuzzleHttp/autoload.php';
require __DIR__ . '/laravel.php';
foreach (['RealtimeNotificationService', 'RealtimeServiceProvider', 'NotificationController', 'ThreadReplyController', 'HealthController', 'TestRealtimeConnection'] as $file) {
    require __DIR__ . "/$file.php";
}

use App\Console\Commands\TestRealtimeConnection;
use App\Providers\RealtimeServiceProvider;
use App\Services\RealtimeNotificationService;
use Illuminate\Support\Facades\Log;

$app = new Application();
$provider = new RealtimeServiceProvider($app);
$provider->register();
$provider->boot();
$service = $app->make(RealtimeNotificationService::class);

$request = new Request(['user_id' => 1, 'thread_id' => 456, 'reply_id' => 789, 'content' => 'Great tips! Thänks ☃']);
$results = [
    'guzzle' => GuzzleHttp\ClientInterface::MAJOR_VERSION,
    'notification' => (new NotificationController())->sendNotification($request, $service),
    'reply' => (new ThreadReplyController())->store($request, $service)['success'],
    'update' => $service->sendThreadUpdate(456, [
        'thread_id' => 456,
        'title' => 'Updated PLC Programming Tips',
        'updated_by' => ['id' => 1, 'name' => 'John Doe'],
        'updated_at' => now()->toISOString(),
    ]),
    'health' => (new HealthController())->testRealtimeConnection($service),
];
$command = new TestRealtimeConnection();
$results['status'] = $command->handle($service);
$results['printed'] = $command->printed;
$results['logged'] = Log::$lines;
echo json_encode($results, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
