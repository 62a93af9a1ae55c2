<?php

use App\Services\RealtimeNotificationService;

class NotificationController extends Controller
{
    public function sendNotification(Request $request, RealtimeNotificationService $realtimeService)
    {
        $notification = [
            'id' => 'notif_' . uniqid(),
            'type' => 'thread_reply',
            'title' => 'New reply to your thread',
            'message' => 'Someone replied to your thread',
            'data' => [
                'thread_id' => $request->thread_id,
                'reply_id' => $request->reply_id,
                'user' => [
                    'id' => auth()->id(),
                    'name' => auth()->user()->name,
                    'avatar' => auth()->user()->avatar_url
                ]
            ],
            'timestamp' => now()->toISOString(),
            'read' => false
        ];

        $success = $realtimeService->sendNotificationToUser(
            $request->user_id,
            $notification
        );

        return response()->json([
            'success' => $success,
            'message' => $success ? 'Notification sent' : 'Failed to send notification'
        ]);
    }
}
