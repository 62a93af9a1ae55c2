<?php

namespace App\Console\Commands;

use Illuminate\Console\Command;
use App\Services\RealtimeNotificationService;

class TestRealtimeConnection extends Command
{
    protected $signature = 'realtime:test';
    protected $description = 'Test connection to realtime server';

    public function handle(RealtimeNotificationService $realtimeService)
    {
        $this->info('Testing realtime server connection...');

        $result = $realtimeService->testConnection();

        if ($result['status'] === 'success') {
            $this->info('‚úÖ Connection successful!');
            $this->line('Server status: ' . ($result['data']['status'] ?? 'unknown'));
        } else {
            $this->error('‚ùå Connection failed!');
            $this->line('Error: ' . $result['message']);
        }

        return $result['status'] === 'success' ? 0 : 1;
    }
}
