<?php

use App\Services\RealtimeNotificationService;

class ThreadReplyController extends Controller
{
    public function store(Request $request, RealtimeNotificationService $realtimeService)
    {
        // Create reply in database
        $reply = ThreadReply::create([
            'thread_id' => $request->thread_id,
            'user_id' => auth()->id(),
            'content' => $request->content,
        ]);

        // Send real-time notification
        $realtimeService->sendNewReply($request->thread_id, [
            'reply_id' => $reply->id,
            'thread_id' => $reply->thread_id,
            'content' => $reply->content,
            'author' => [
                'id' => auth()->id(),
                'name' => auth()->user()->name,
                'avatar' => auth()->user()->avatar_url,
                'role' => auth()->user()->role
            ],
            'created_at' => $reply->created_at->toISOString()
        ]);

        return response()->json([
            'success' => true,
            'reply' => $reply
        ]);
    }
}
