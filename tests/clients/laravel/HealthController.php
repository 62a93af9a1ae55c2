<?php

use App\Services\RealtimeNotificationService;

class HealthController extends Controller
{
    public function testRealtimeConnection(RealtimeNotificationService $realtimeService)
    {
        $result = $realtimeService->testConnection();
        
        return response()->json($result);
    }
}
